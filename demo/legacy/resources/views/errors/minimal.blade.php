<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>@yield('code') · {{ config('app.name') }}</title></head>
<body style="font: 16px/1.5 sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem">
<p><strong>Legacy application (Laravel)</strong></p>
<h1>@yield('code'): @yield('message')</h1>
<p><a href="/dashboard">Dashboard</a></p>
</body>
</html>
