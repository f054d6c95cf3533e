<?php

use App\Http\Controllers\CampaignController;
use Illuminate\Support\Facades\Route;

Route::middleware('auth')->group(function () {
    Route::get('/send-email/campaign-{campaign}/template-{template}', [CampaignController::class, 'send']);
    Route::get('/schedule-emails', [CampaignController::class, 'schedules']);
    Route::post('/schedule-email/{campaign}/{template}/store', [CampaignController::class, 'schedule']);
});
