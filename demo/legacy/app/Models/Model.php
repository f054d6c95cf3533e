<?php

namespace App\Models;

use Illuminate\Database\Eloquent\Model as Eloquent;

/** What every table of the application has: an owner, and no column that a request could fill unseen. */
abstract class Model extends Eloquent
{
    use Owned;

    protected $guarded = [];
}
