<?php

namespace App\Http\Controllers;

use App\Models\SmsLog;
use Illuminate\Http\Request;

/** Delivery reports. An id that we do not know is answered like any other: the provider must not try again. */
class WebhookController extends Controller
{
    public function twilio(Request $request)
    {
        $this->update('twilio', $request->input('MessageSid'), $request->input('MessageStatus'), $request->input('ErrorCode'));

        return response('<?xml version="1.0" encoding="UTF-8"?><Response/>', 200, ['Content-Type' => 'text/xml']);
    }

    public function vonage(Request $request)
    {
        $this->update('vonage', $request->input('messageId'), $request->input('status'), $request->input('err-code'));

        return response('', 200);
    }

    private function update(string $provider, $id, $status, $error): void
    {
        if (! is_string($id) || ! is_string($status)) {
            abort(400, 'a delivery report names a message and its status');
        }
        SmsLog::where('provider', $provider)->where('message_id', substr($id, 0, 64))
            ->update(['status' => substr($status, 0, 20), 'error' => is_scalar($error) ? substr((string) $error, 0, 255) : null]);
    }
}
