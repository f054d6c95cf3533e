<?php

namespace App\Models;

class CampaignLog extends Model
{
    // One run of a campaign.
}
