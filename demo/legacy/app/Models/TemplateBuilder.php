<?php

namespace App\Models;

class TemplateBuilder extends Model
{
    // An e-mail template: subject, HTML and the link that a click leads to.
}
