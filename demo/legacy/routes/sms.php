<?php

use App\Http\Controllers\SmsController;
use Illuminate\Support\Facades\Route;

Route::middleware('auth')->group(function () {
    Route::get('/send-sms/campaign-{campaign}/{template}/{gateway}', [SmsController::class, 'send']);
    Route::get('/schedule-sms', [SmsController::class, 'schedules']);
    Route::post('/schedule-sms/{campaign}/{template}/{gateway}/store', [SmsController::class, 'schedule']);
});
