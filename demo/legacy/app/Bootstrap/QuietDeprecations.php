<?php

namespace App\Bootstrap;

use Illuminate\Foundation\Bootstrap\HandleExceptions;

/** Puts our HandleExceptions in the place of Laravel's, in either kernel. */
trait QuietDeprecations
{
    protected function bootstrappers()
    {
        return array_map(
            fn ($class) => $class === HandleExceptions::class ? \App\Bootstrap\HandleExceptions::class : $class,
            parent::bootstrappers()
        );
    }
}
