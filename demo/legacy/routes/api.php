<?php

use App\Http\Controllers\WebhookController;
use Illuminate\Support\Facades\Route;

Route::post('/webhooks/twilio/status', [WebhookController::class, 'twilio']);
// Vonage sends by either method, as the account is set.
Route::match(['get', 'post'], '/webhooks/vonage/dlr', [WebhookController::class, 'vonage']);
