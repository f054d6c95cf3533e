<?php

namespace App\Console\Commands;

use App\Models\ScheduleEmail;
use App\Services\CampaignMailer;
use Illuminate\Console\Command;

class SendEmails extends Command
{
    protected $signature = 'send:emails';
    protected $description = 'Send the scheduled e-mail campaigns that are due';

    public function handle(CampaignMailer $mailer): int
    {
        $due = ScheduleEmail::with('campaign', 'template')->where('status', 'pending')->where('scheduled_at', '<=', now())->orderBy('id')->get();
        foreach ($due as $schedule) {
            $log = $mailer->send($schedule->campaign, $schedule->template);
            $schedule->update(['status' => $log->sent > 0 ? 'sent' : 'failed']);
            $this->line("campaign {$log->campaign_id}: {$log->sent} sent, {$log->failed} failed, {$log->skipped} skipped");
        }

        return 0;
    }
}
