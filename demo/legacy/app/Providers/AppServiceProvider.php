<?php

namespace App\Providers;

use Illuminate\Filesystem\Filesystem;
use Illuminate\Support\ServiceProvider;

class AppServiceProvider extends ServiceProvider
{
    /**
     * Four workers compile the same view at the same time after a start, and Laravel 8 writes the result in place:
     * one of them could read half a file. Written aside and renamed, it is there whole or not at all.
     */
    public function register()
    {
        $this->app->singleton('files', fn () => new class extends Filesystem {
            public function put($path, $contents, $lock = false)
            {
                return $lock ? parent::put($path, $contents, $lock) : ($this->replace($path, $contents) ?? strlen($contents));
            }
        });
    }
}
