<?php

namespace App\Models;

class EmailContact extends Model
{
    protected $casts = ['is_unsubscribed' => 'boolean'];
}
