<?php

namespace App\Models;

class UserSentRecord extends Model
{
    // One message sent: what billing and the volume classes count.
    const UPDATED_AT = null;
}
