<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>@yield('title') · {{ config('app.name') }}</title>
<style>
body { font: 16px/1.5 sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; color: #222 }
header { display: flex; gap: 1rem; align-items: center; background: #f9e7c8; border-left: .5rem solid #c77700; padding: .5rem 1rem }
header form { margin-left: auto } table { border-collapse: collapse; width: 100% } td, th { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #ddd }
.notice { background: #e5f3e5; padding: .5rem 1rem } .error { color: #a00 }
</style>
</head>
<body>
<header>
<strong>Legacy application (Laravel)</strong>
@auth
<span>{{ auth()->user()->name }} &lt;{{ auth()->user()->email }}&gt;, account {{ auth()->user()->owner_id }}</span>
<form method="post" action="/logout">@csrf <button>Log out</button></form>
@else
<span>nobody is logged in</span>
@endauth
</header>
@auth
<nav><a href="/dashboard">Dashboard</a> · <a href="/dashboard/campaigns">Campaigns</a> · <a href="/campaign/schedule-emails">Scheduled e-mails</a> · <a href="/campaign/schedule-sms">Scheduled SMS</a></nav>
@endauth
@if (session('notice'))
<p class="notice">{{ session('notice') }}</p>
@endif
<h1>@yield('title')</h1>
@yield('content')
</body>
</html>
