@extends('layouts.page')
@section('title', $title)
@section('content')
<table>
<tr><th>Campaign</th><th>At (UTC)</th><th>Status</th></tr>
@foreach ($schedules as $schedule)
<tr><td><a href="/dashboard/campaigns/{{ $schedule->campaign_id }}">{{ $schedule->campaign_id }}</a></td><td>{{ $schedule->scheduled_at }}</td><td>{{ $schedule->status }}</td></tr>
@endforeach
</table>
@endsection
