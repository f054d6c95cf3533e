<?php

namespace App\Models;

class BouncedEmail extends Model
{
    // An address that refused an e-mail of this owner.
}
