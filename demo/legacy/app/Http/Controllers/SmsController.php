<?php

namespace App\Http\Controllers;

use App\Models\Campaign;
use App\Models\ScheduleSms;
use App\Models\SmsBuilder;
use App\Services\CampaignTexter;
use Illuminate\Http\Request;

class SmsController extends Controller
{
    public function send(Request $request, CampaignTexter $texter, int $campaign, int $template, string $gateway)
    {
        $found = $this->find(Campaign::class, $campaign, $request);
        abort_unless($found->type === 'sms', 422, 'the campaign has another channel');
        $log = $texter->send($found, $this->find(SmsBuilder::class, $template, $request), $gateway);

        return $this->wantsPage($request)
            ? redirect("/dashboard/campaigns/$campaign")->with('notice', "{$log->sent} queued, {$log->failed} failed, {$log->skipped} skipped.")
            : response()->json(['status' => 'queued'] + $log->only('sent', 'failed', 'skipped'));
    }

    public function schedules(Request $request)
    {
        $schedules = ScheduleSms::ownedBy($this->owner($request))->orderBy('id')
            ->get(['id', 'campaign_id', 'sms_builder_id', 'gateway', 'status', 'scheduled_at', 'created_at']);

        return $this->wantsPage($request)
            ? view('schedules', ['title' => 'Scheduled SMS', 'schedules' => $schedules])
            : response()->json(['data' => $schedules, 'total' => $schedules->count()]);
    }

    public function schedule(Request $request, int $campaign, int $template, string $gateway)
    {
        $at = $this->validate($request, ['scheduled_at' => 'required|date'])['scheduled_at'];
        $found = $this->find(Campaign::class, $campaign, $request);
        $schedule = ScheduleSms::create([
            'owner_id' => $found->owner_id, 'campaign_id' => $found->id, 'sms_builder_id' => $this->find(SmsBuilder::class, $template, $request)->id,
            'gateway' => $gateway, 'scheduled_at' => $at, 'status' => 'pending',
        ]);
        $found->update(['status' => 'scheduled']);

        return $this->wantsPage($request)
            ? redirect('/campaign/schedule-sms')->with('notice', 'Scheduled.')
            : response()->json(['status' => 'scheduled', 'id' => $schedule->id], 201);
    }
}
