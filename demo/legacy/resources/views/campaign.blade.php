@extends('layouts.page')
@section('title', $campaign['name'])
@section('content')
<p>{{ $campaign['type'] }}, {{ $campaign['status'] }}, {{ $campaign['recipients_count'] }} recipients</p>
<h2>Send or schedule</h2>
@foreach ($campaign['templates'] as $template)
@if ($campaign['type'] === 'sms')
<p>{{ $template->name }}: <a href="/campaign/send-sms/campaign-{{ $campaign['id'] }}/{{ $template->id }}/twilio">send now through Twilio</a></p>
<form method="post" action="/campaign/schedule-sms/{{ $campaign['id'] }}/{{ $template->id }}/twilio/store">
@else
<p>{{ $template->name }}: <a href="/campaign/send-email/campaign-{{ $campaign['id'] }}/template-{{ $template->id }}">send now</a></p>
<form method="post" action="/campaign/schedule-email/{{ $campaign['id'] }}/{{ $template->id }}/store">
@endif
@csrf <label>or at <input type="datetime-local" name="scheduled_at" required></label> <button>Schedule</button>
</form>
@endforeach
@foreach ($errors->all() as $error)
<p class="error">{{ $error }}</p>
@endforeach
<h2>Recipients</h2>
<table>
@foreach ($campaign['recipients'] as $recipient)
<tr><td>{{ $recipient['name'] }}</td><td>{{ $recipient['email'] }}</td><td>{{ $recipient['is_unsubscribed'] ? 'unsubscribed' : '' }}</td></tr>
@endforeach
</table>
<h2>Runs</h2>
<table>
<tr><th>At</th><th>Sent</th><th>Failed</th><th>Skipped</th></tr>
@foreach ($campaign['logs'] as $log)
<tr><td>{{ $log->created_at }}</td><td>{{ $log->sent }}</td><td>{{ $log->failed }}</td><td>{{ $log->skipped }}</td></tr>
@endforeach
</table>
@endsection
