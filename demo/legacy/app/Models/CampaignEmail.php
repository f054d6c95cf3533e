<?php

namespace App\Models;

class CampaignEmail extends Model
{
    public function contact()
    {
        return $this->belongsTo(EmailContact::class, 'email_contact_id');
    }
}
