<?php

namespace App\Models;

class SmsService extends Model
{
    protected $hidden = ['api_key', 'api_secret'];
}
