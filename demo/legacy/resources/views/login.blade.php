@extends('layouts.page')
@section('title', 'Log in')
@section('content')
@foreach ($errors->all() as $error)
<p class="error">{{ $error }}</p>
@endforeach
<form method="post" action="/login">
@csrf
<p><label>E-mail <input type="email" name="email" value="{{ old('email') }}" required autofocus></label></p>
<p><label>Password <input type="password" name="password" required></label></p>
<p><button>Log in</button></p>
</form>
@endsection
