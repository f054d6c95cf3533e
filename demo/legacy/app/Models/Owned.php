<?php

namespace App\Models;

/** A row that belongs to a tenant. Every query on behalf of a user goes through ownedBy(). */
trait Owned
{
    public function scopeOwnedBy($query, int $ownerId)
    {
        return $query->where($this->qualifyColumn('owner_id'), $ownerId);
    }
}
