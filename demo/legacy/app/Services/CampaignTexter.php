<?php

namespace App\Services;

use App\Models\Campaign;
use App\Models\CampaignLog;
use App\Models\EmailSMSLimitRate;
use App\Models\SmsBuilder;
use App\Models\SmsLog;
use App\Models\SmsService;
use App\Models\UserSentRecord;

/**
 * Sends an SMS campaign. No vendor can be reached from here, so the vendor's call is left out: a message gets an
 * id as the vendor would have given it, and stays `queued` until a delivery report comes in by webhook.
 */
class CampaignTexter
{
    public function send(Campaign $campaign, SmsBuilder $template, string $gateway): CampaignLog
    {
        $owner = $campaign->owner_id;
        $service = SmsService::ownedBy($owner)->where('provider', $gateway)->where('is_active', true)->firstOrFail();
        $counts = ['sent' => 0, 'failed' => 0, 'skipped' => 0];

        foreach ($campaign->recipients()->with('contact')->orderBy('id')->get()->pluck('contact') as $contact) {
            if ($contact->is_unsubscribed || $contact->phone === null || EmailSMSLimitRate::left($owner, 'sms') < 1) {
                $counts['skipped']++;
                continue;
            }
            SmsLog::create([
                'owner_id' => $owner, 'campaign_id' => $campaign->id, 'provider' => $service->provider,
                'message_id' => ($gateway === 'twilio' ? 'SM' : '').bin2hex(random_bytes(16)), 'phone' => $contact->phone, 'status' => 'queued',
            ]);
            EmailSMSLimitRate::take($owner, 'sms');
            UserSentRecord::create(['owner_id' => $owner, 'type' => 'sms']);
            $counts['sent']++;
        }

        if ($counts['sent'] > 0) {
            $campaign->update(['status' => 'sent']);
        }

        return CampaignLog::create(['owner_id' => $owner, 'campaign_id' => $campaign->id, 'channel' => 'sms'] + $counts);
    }
}
