<?php

namespace App\Http\Controllers;

use App\Models\Campaign;
use App\Models\SmsBuilder;
use App\Models\TemplateBuilder;
use App\Services\CampaignStats;
use Illuminate\Http\Request;

class DashboardController extends Controller
{
    public function index(Request $request, CampaignStats $stats)
    {
        $owner = $this->owner($request);

        return view('dashboard', ['stats' => $stats->of($owner), 'campaigns' => $this->list($owner)->get()]);
    }

    public function stats(Request $request, CampaignStats $stats)
    {
        return response()->json($stats->of($this->owner($request)));
    }

    public function campaigns(Request $request)
    {
        $campaigns = $this->list($this->owner($request))->get();

        return $this->wantsPage($request)
            ? view('campaigns', ['campaigns' => $campaigns])
            : response()->json(['data' => $campaigns, 'total' => $campaigns->count()]);
    }

    public function campaign(Request $request, int $campaign)
    {
        $owner = $this->owner($request);
        $found = $this->list($owner)->findOrFail($campaign);
        $templates = $found->type === 'sms' ? SmsBuilder::ownedBy($owner)->orderBy('id')->get(['id', 'name']) : TemplateBuilder::ownedBy($owner)->orderBy('id')->get(['id', 'name']);
        $detail = $found->toArray() + [
            'recipients' => $found->recipients()->with('contact')->orderBy('id')->get()->map(fn ($r) => $r->contact->only('id', 'name', 'email', 'is_unsubscribed')),
            'templates' => $templates,
            'logs' => $found->logs()->orderBy('id')->get(['id', 'channel', 'sent', 'failed', 'skipped', 'created_at']),
        ];

        return $this->wantsPage($request) ? view('campaign', ['campaign' => $detail]) : response()->json(['data' => $detail]);
    }

    private function list(int $owner)
    {
        return Campaign::ownedBy($owner)->withCount('recipients')->orderBy('id');
    }
}
