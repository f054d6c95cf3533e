<?php

namespace App\Models;

use Illuminate\Foundation\Auth\User as Authenticatable;

class User extends Authenticatable
{
    use Owned;

    protected $hidden = ['password', 'remember_token'];
    protected $casts = ['messaging_service_enabled' => 'boolean'];

    public function owner()
    {
        return $this->belongsTo(User::class, 'owner_id');
    }
}
