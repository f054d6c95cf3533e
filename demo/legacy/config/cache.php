<?php

return [
    'default' => 'file',
    'stores' => [
        'file' => ['driver' => 'file', 'path' => storage_path('framework/cache')],
        'redis' => ['driver' => 'redis', 'connection' => 'default'], // SESSION_DRIVER=redis
    ],
    'prefix' => 'campaign_cache',
];
