<?php

namespace App\Models;

class SmsBuilder extends Model
{
    // An SMS template.
}
