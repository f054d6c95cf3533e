<?php

// The platform's relay, for every smtp_servers row that names no host of its own.
return ['host' => env('MAIL_HOST', '127.0.0.1'), 'port' => (int) env('MAIL_PORT', 1025)];
