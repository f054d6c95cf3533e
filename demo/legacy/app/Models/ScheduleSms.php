<?php

namespace App\Models;

class ScheduleSms extends Model
{
    protected $table = 'schedule_sms';
    protected $dates = ['scheduled_at'];

    public function campaign()
    {
        return $this->belongsTo(Campaign::class);
    }

    public function template()
    {
        return $this->belongsTo(SmsBuilder::class, 'sms_builder_id');
    }
}
