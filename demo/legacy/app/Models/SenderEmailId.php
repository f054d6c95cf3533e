<?php

namespace App\Models;

class SenderEmailId extends Model
{
    // Who an e-mail says it is from.
}
