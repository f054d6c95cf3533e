<?php

namespace App\Models;

class EmailSMSLimitRate extends Model
{
    // What an owner may still send. Checking and taking are two steps here: two runs at once can both see the last one.
    public static function left(int $ownerId, string $channel): int
    {
        return (int) static::ownedBy($ownerId)->value($channel);
    }

    public static function take(int $ownerId, string $channel): void
    {
        static::ownedBy($ownerId)->decrement($channel, 1);
    }
}
