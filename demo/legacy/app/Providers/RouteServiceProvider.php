<?php

namespace App\Providers;

use Illuminate\Foundation\Support\Providers\RouteServiceProvider as ServiceProvider;
use Illuminate\Support\Facades\Route;

class RouteServiceProvider extends ServiceProvider
{
    public function boot()
    {
        // Ids are bigint in PostgreSQL: anything else is no route, rather than a query that fails.
        Route::pattern('campaign', '[0-9]{1,18}');
        Route::pattern('template', '[0-9]{1,18}');
        Route::pattern('uuid', '[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}');

        $this->routes(function () {
            Route::middleware('web')->group(base_path('routes/web.php'));
            Route::middleware('web')->prefix('campaign')->group(base_path('routes/campaign.php'));
            Route::middleware('web')->prefix('campaign')->group(base_path('routes/sms.php'));
            Route::prefix('api')->middleware('api')->group(base_path('routes/api.php'));
            Route::middleware('api')->group(base_path('routes/open.php'));
        });
    }
}
