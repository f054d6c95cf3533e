<?php

namespace App\Services;

use App\Models\BouncedEmail;
use App\Models\Campaign;
use App\Models\CampaignLog;
use App\Models\EmailContact;
use App\Models\EmailService;
use App\Models\EmailSMSLimitRate;
use App\Models\EmailTracker;
use App\Models\SenderEmailId;
use App\Models\TemplateBuilder;
use App\Models\UserSentRecord;
use Illuminate\Support\Str;

/** Sends an e-mail campaign, one recipient after the other, within the request or the cron run that asked. */
class CampaignMailer
{
    public function send(Campaign $campaign, TemplateBuilder $template): CampaignLog
    {
        $owner = $campaign->owner_id;
        $mailer = $this->mailerOf($owner);
        $sender = SenderEmailId::ownedBy($owner)->orderBy('id')->firstOrFail();
        $bounced = BouncedEmail::ownedBy($owner)->pluck('email')->flip();
        $counts = ['sent' => 0, 'failed' => 0, 'skipped' => 0];

        foreach ($campaign->recipients()->with('contact')->orderBy('id')->get()->pluck('contact') as $contact) {
            $unwanted = $contact->is_unsubscribed || $bounced->has($contact->email);
            if ($unwanted || EmailSMSLimitRate::left($owner, 'email') < 1) {
                $counts['skipped']++;
                continue;
            }
            $counts[$this->sendOne($mailer, $sender, $campaign, $template, $contact) ? 'sent' : 'failed']++;
        }

        if ($counts['sent'] > 0) {
            $campaign->update(['status' => 'sent']);
        }

        return CampaignLog::create(['owner_id' => $owner, 'campaign_id' => $campaign->id, 'channel' => 'email'] + $counts);
    }

    private function sendOne(\Swift_Mailer $mailer, SenderEmailId $sender, Campaign $campaign, TemplateBuilder $template, EmailContact $contact): bool
    {
        $tracker = EmailTracker::create([
            'tracker' => (string) Str::uuid(), 'owner_id' => $campaign->owner_id, 'campaign_id' => $campaign->id,
            'email' => $contact->email, 'link' => $template->link,
        ]);
        $body = strtr($template->html, [
            '{name}' => e($contact->name),
            '{click_url}' => url("/tracker/{$tracker->tracker}/click"),
            '{open_url}' => url("/tracker/{$tracker->tracker}/open"),
        ]);
        $message = (new \Swift_Message($template->subject))
            ->setFrom($sender->email, $sender->name)
            ->setReplyTo($sender->reply_to ?? $sender->email)
            ->setTo($contact->email, $contact->name)
            ->setBody($body, 'text/html');
        $message->getHeaders()->addTextHeader('X-Campaign', (string) $campaign->id);

        try {
            $accepted = $mailer->send($message) > 0;
        } catch (\Swift_SwiftException $e) {
            report($e);
            $accepted = false;
        }
        $tracker->update(['status' => $accepted ? 'sent' : 'failed']);
        if ($accepted) {
            EmailSMSLimitRate::take($campaign->owner_id, 'email');
            UserSentRecord::create(['owner_id' => $campaign->owner_id, 'type' => 'email']);
        }

        return $accepted;
    }

    private function mailerOf(int $owner): \Swift_Mailer
    {
        $server = EmailService::ownedBy($owner)->where('is_active', true)->with('server')->firstOrFail()->server;
        $transport = new \Swift_SmtpTransport($server->host ?? config('mail.host'), $server->port ?? config('mail.port'), $server->encryption);
        $transport->setTimeout(10);
        if ($server->username !== null) {
            $transport->setUsername($server->username)->setPassword(decrypt($server->password));
        }

        return new \Swift_Mailer($transport);
    }
}
