<?php

namespace App\Console;

use App\Bootstrap\QuietDeprecations;
use Illuminate\Console\Scheduling\Schedule;
use Illuminate\Foundation\Console\Kernel as ConsoleKernel;

class Kernel extends ConsoleKernel
{
    use QuietDeprecations;

    protected $commands = [
        Commands\SendEmails::class,
        Commands\SendSMS::class,
    ];

    protected function schedule(Schedule $schedule)
    {
        $schedule->command('send:emails')->everyMinute();
        $schedule->command('send:sms')->everyMinute();
    }
}
