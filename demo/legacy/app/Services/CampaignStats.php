<?php

namespace App\Services;

use App\Models\BouncedEmail;
use App\Models\Campaign;
use App\Models\EmailSMSLimitRate;
use App\Models\EmailTracker;
use App\Models\PlanPurchased;
use App\Models\UserSentRecord;

/** The figures on a tenant's dashboard. */
class CampaignStats
{
    public function of(int $owner): array
    {
        $campaigns = Campaign::ownedBy($owner);
        $plan = PlanPurchased::ownedBy($owner)->where('status', 'active')->with('plan')->orderByDesc('id')->first();

        return [
            'owner_id' => $owner,
            'campaigns' => [
                'total' => (clone $campaigns)->count(),
                'sent' => (clone $campaigns)->where('status', 'sent')->count(),
            ],
            'email' => $this->channel($owner, 'email'),
            'sms' => $this->channel($owner, 'sms'),
            'engagement' => [
                'opens' => (int) EmailTracker::ownedBy($owner)->sum('opens'),
                'clicks' => (int) EmailTracker::ownedBy($owner)->sum('clicks'),
                'bounces' => BouncedEmail::ownedBy($owner)->count(),
            ],
            'plan' => $plan ? $plan->plan->only('name', 'email_limit', 'sms_limit') : null,
        ];
    }

    private function channel(int $owner, string $type): array
    {
        $records = UserSentRecord::ownedBy($owner)->where('type', $type);

        return [
            'sent' => (clone $records)->count(),
            'sent_today' => (clone $records)->where('created_at', '>=', today())->count(),
            'left' => EmailSMSLimitRate::left($owner, $type),
        ];
    }
}
