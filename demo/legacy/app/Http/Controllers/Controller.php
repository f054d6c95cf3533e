<?php

namespace App\Http\Controllers;

use App\Models\Model;
use Illuminate\Foundation\Validation\ValidatesRequests;
use Illuminate\Http\Request;
use Illuminate\Routing\Controller as BaseController;
use Illuminate\Support\Str;

abstract class Controller extends BaseController
{
    use ValidatesRequests;

    /** The tenant of whoever is logged in. */
    protected function owner(Request $request): int
    {
        return $request->user()->owner_id;
    }

    /** A row of this tenant, or 404: another tenant's row is as absent as none. */
    protected function find(string $model, int $id, Request $request): Model
    {
        return $model::ownedBy($this->owner($request))->findOrFail($id);
    }

    /** A browser gets a page; whoever asks for JSON, or does not say, gets JSON. */
    protected function wantsPage(Request $request): bool
    {
        return ! $request->expectsJson() && Str::contains($request->header('Accept', ''), 'text/html');
    }
}
