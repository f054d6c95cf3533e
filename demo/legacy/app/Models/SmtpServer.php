<?php

namespace App\Models;

class SmtpServer extends Model
{
    protected $hidden = ['password'];
}
