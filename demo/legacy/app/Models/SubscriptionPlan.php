<?php

namespace App\Models;

class SubscriptionPlan extends Model
{
    // What is sold: limits and a price.
}
