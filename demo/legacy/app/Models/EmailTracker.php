<?php

namespace App\Models;

class EmailTracker extends Model
{
    // One e-mail to one recipient, and what was seen of it.
}
