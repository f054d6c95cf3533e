<?php

namespace App\Console\Commands;

use App\Models\ScheduleSms;
use App\Services\CampaignTexter;
use Illuminate\Console\Command;

class SendSMS extends Command
{
    protected $signature = 'send:sms';
    protected $description = 'Send the scheduled SMS campaigns that are due';

    public function handle(CampaignTexter $texter): int
    {
        $due = ScheduleSms::with('campaign', 'template')->where('status', 'pending')->where('scheduled_at', '<=', now())->orderBy('id')->get();
        foreach ($due as $schedule) {
            $log = $texter->send($schedule->campaign, $schedule->template, $schedule->gateway);
            $schedule->update(['status' => $log->sent > 0 ? 'sent' : 'failed']);
            $this->line("campaign {$log->campaign_id}: {$log->sent} queued, {$log->failed} failed, {$log->skipped} skipped");
        }

        return 0;
    }
}
