<?php

namespace App\Http\Controllers;

use App\Models\EmailTracker;

class TrackerController extends Controller
{
    // One transparent pixel.
    private const PIXEL = 'R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7';

    public function open(string $uuid)
    {
        EmailTracker::where('tracker', $uuid)->increment('opens');

        return response(base64_decode(self::PIXEL), 200, ['Content-Type' => 'image/gif', 'Cache-Control' => 'no-store']);
    }

    public function click(string $uuid)
    {
        $tracker = EmailTracker::where('tracker', $uuid)->firstOrFail();
        $tracker->increment('clicks');

        return $tracker->link === null ? redirect('/') : redirect()->away($tracker->link);
    }
}
