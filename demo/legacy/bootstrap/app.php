<?php

require_once __DIR__.'/autoload.php';

// The checkout may be read-only: all that Laravel writes goes below STORAGE_PATH.
$storage = getenv('STORAGE_PATH') ?: dirname(__DIR__).'/storage';
foreach (['bootstrap/cache', 'framework/cache', 'framework/sessions', 'framework/views', 'logs'] as $folder) {
    if (! is_dir("$storage/$folder")) {
        @mkdir("$storage/$folder", 0750, true);
    }
}
foreach (['services', 'packages', 'config', 'events'] as $name) {
    $_SERVER['APP_'.strtoupper($name).'_CACHE'] = realpath("$storage/bootstrap/cache")."/$name.php";
}
$_SERVER['APP_ROUTES_CACHE'] = realpath("$storage/bootstrap/cache").'/routes-v7.php';

$app = new Illuminate\Foundation\Application(dirname(__DIR__));
$app->useStoragePath(realpath($storage));

$app->singleton(Illuminate\Contracts\Http\Kernel::class, App\Http\Kernel::class);
$app->singleton(Illuminate\Contracts\Console\Kernel::class, App\Console\Kernel::class);
$app->singleton(Illuminate\Contracts\Debug\ExceptionHandler::class, Illuminate\Foundation\Exceptions\Handler::class);

return $app;
