<?php

namespace App\Models;

class Campaign extends Model
{
    public function recipients()
    {
        return $this->hasMany(CampaignEmail::class);
    }

    public function logs()
    {
        return $this->hasMany(CampaignLog::class);
    }
}
