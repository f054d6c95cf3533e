<table>
<tr><th>Campaign</th><th>Channel</th><th>Recipients</th><th>Status</th></tr>
@foreach ($campaigns as $campaign)
<tr><td><a href="/dashboard/campaigns/{{ $campaign->id }}">{{ $campaign->name }}</a></td><td>{{ $campaign->type }}</td><td>{{ $campaign->recipients_count }}</td><td>{{ $campaign->status }}</td></tr>
@endforeach
</table>
