<?php

namespace App\Models;

class PlanPurchased extends Model
{
    public function plan()
    {
        return $this->belongsTo(SubscriptionPlan::class, 'subscription_plan_id');
    }
}
