@extends('layouts.page')
@section('title', 'Dashboard')
@section('content')
<table>
<tr><th></th><th>Sent today</th><th>Sent in all</th><th>Left</th></tr>
<tr><th>E-mail</th><td>{{ $stats['email']['sent_today'] }}</td><td>{{ $stats['email']['sent'] }}</td><td>{{ $stats['email']['left'] }}</td></tr>
<tr><th>SMS</th><td>{{ $stats['sms']['sent_today'] }}</td><td>{{ $stats['sms']['sent'] }}</td><td>{{ $stats['sms']['left'] }}</td></tr>
</table>
<p>{{ $stats['engagement']['opens'] }} opens, {{ $stats['engagement']['clicks'] }} clicks, {{ $stats['engagement']['bounces'] }} bounces. Plan: {{ $stats['plan']['name'] ?? 'none' }}.</p>
@include('list')
@endsection
