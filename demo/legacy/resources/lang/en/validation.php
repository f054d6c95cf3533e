<?php

return [
    'date' => 'The :attribute is not a valid date.',
    'required' => 'The :attribute field is required.',
    'string' => 'The :attribute must be a string.',
];
