<?php

namespace App\Models;

class ScheduleEmail extends Model
{
    protected $dates = ['scheduled_at'];

    public function campaign()
    {
        return $this->belongsTo(Campaign::class);
    }

    public function template()
    {
        return $this->belongsTo(TemplateBuilder::class, 'template_builder_id');
    }
}
