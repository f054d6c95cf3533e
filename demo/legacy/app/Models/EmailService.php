<?php

namespace App\Models;

class EmailService extends Model
{
    public function server()
    {
        return $this->belongsTo(SmtpServer::class, 'smtp_server_id');
    }
}
