<?php

namespace App\Http\Controllers;

use App\Models\Campaign;
use App\Models\ScheduleEmail;
use App\Models\TemplateBuilder;
use App\Services\CampaignMailer;
use Illuminate\Http\Request;

class CampaignController extends Controller
{
    /** Sends, within the request. That it is a GET is the application's history, and its danger. */
    public function send(Request $request, CampaignMailer $mailer, int $campaign, int $template)
    {
        $found = $this->find(Campaign::class, $campaign, $request);
        abort_unless($found->type === 'email', 422, 'the campaign has another channel');
        $log = $mailer->send($found, $this->find(TemplateBuilder::class, $template, $request));

        return $this->wantsPage($request)
            ? redirect("/dashboard/campaigns/$campaign")->with('notice', "{$log->sent} sent, {$log->failed} failed, {$log->skipped} skipped.")
            : response()->json(['status' => 'sent'] + $log->only('sent', 'failed', 'skipped'));
    }

    public function schedules(Request $request)
    {
        $schedules = ScheduleEmail::ownedBy($this->owner($request))->orderBy('id')
            ->get(['id', 'campaign_id', 'template_builder_id', 'status', 'scheduled_at', 'created_at']);

        return $this->wantsPage($request)
            ? view('schedules', ['title' => 'Scheduled e-mails', 'schedules' => $schedules])
            : response()->json(['data' => $schedules, 'total' => $schedules->count()]);
    }

    public function schedule(Request $request, int $campaign, int $template)
    {
        $at = $this->validate($request, ['scheduled_at' => 'required|date'])['scheduled_at'];
        $found = $this->find(Campaign::class, $campaign, $request);
        $schedule = ScheduleEmail::create([
            'owner_id' => $found->owner_id, 'campaign_id' => $found->id, 'template_builder_id' => $this->find(TemplateBuilder::class, $template, $request)->id,
            'scheduled_at' => $at, 'status' => 'pending',
        ]);
        $found->update(['status' => 'scheduled']);

        return $this->wantsPage($request)
            ? redirect('/campaign/schedule-emails')->with('notice', 'Scheduled.')
            : response()->json(['status' => 'scheduled', 'id' => $schedule->id], 201);
    }
}
