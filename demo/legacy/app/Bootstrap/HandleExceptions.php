<?php

namespace App\Bootstrap;

use Illuminate\Foundation\Bootstrap\HandleExceptions as Laravel;

/** Laravel's own, silent about the deprecations of a PHP that is newer than it. */
class HandleExceptions extends Laravel
{
    public function handleDeprecation($message, $file, $line)
    {
    }
}
