<?php

namespace App\Models;

class SmsLog extends Model
{
    // One SMS to one recipient, and what its provider said of it.
}
