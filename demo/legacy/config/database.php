<?php

return [
    'default' => 'pgsql',
    'connections' => [
        'pgsql' => [
            'driver' => 'pgsql',
            'host' => env('DB_HOST', '127.0.0.1'), // or the folder of a Unix socket
            'port' => env('DB_PORT', '5432'),
            'database' => env('DB_DATABASE', 'campaign'),
            'username' => env('DB_USERNAME', 'campaign'),
            'password' => env('DB_PASSWORD', ''),
            'charset' => 'utf8',
            'prefix' => '',
            'schema' => 'public',
            'sslmode' => 'prefer',
            'timezone' => 'UTC',
        ],
    ],
    'migrations' => 'migrations',
    // Only with SESSION_DRIVER=redis, and then with php-redis.
    'redis' => [
        'client' => 'phpredis',
        'options' => ['prefix' => 'campaign_database_'],
        'default' => [
            'host' => env('REDIS_HOST', '127.0.0.1'), // or a Unix socket, with port 0
            'port' => env('REDIS_PORT', '6379'),
            'password' => env('REDIS_PASSWORD'),
            'database' => env('REDIS_DB', '0'),
        ],
    ],
];
