<?php

// Reached by mail clients and monitors: no session, no cookie.

use App\Http\Controllers\PingController;
use App\Http\Controllers\TrackerController;
use Illuminate\Support\Facades\Route;

Route::get('/ping', PingController::class);
Route::get('/tracker/{uuid}/open', [TrackerController::class, 'open']);
Route::get('/tracker/{uuid}/click', [TrackerController::class, 'click']);
